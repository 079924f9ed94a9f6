"""Classes of attrs and of pydantic, which cross once they are registered; and functions for their values."""

import enum
import functools
import pathlib
import typing

import attr
import econtext

try:
    import pydantic
except ImportError:
    pydantic = None


@econtext.register
class Right(enum.Flag):
    READ = 1
    WRITE = 2


@econtext.register
@attr.frozen
class Package:
    name = attr.field(validator=attr.validators.instance_of(str))
    _version = attr.field(default='1')
    needs = attr.field(factory=list, alias='requires')

    @functools.cached_property
    def title(self):
        return self.name.title()


@econtext.register
@attr.s(cache_hash=True, hash=True)
class Plain(object):
    x = attr.ib(converter=int)
    made = attr.ib(default=5, init=False)


def upgrade(package):
    return attr.evolve(package, version=package._version + '.1', requires=[package])


def titled(name):
    package = Package(name)
    return package, package.title


def ask(value):
    """Have the program do it."""
    return econtext.program.call(upgrade, value)


if pydantic:
    @econtext.register
    class User(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(frozen=True)

        name: str = pydantic.Field(min_length=1)
        age: int = pydantic.Field(0, alias='years')
        rights: Right = Right(0)
        home: typing.Optional[pathlib.Path] = None
        friends: typing.Sequence['User'] = ()


    @econtext.register
    class Loose(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(extra='allow')

        x: int
        _seen: int = pydantic.PrivateAttr(0)


def older(user):
    return user.model_copy(update={'age': user.age + 1, 'friends': [user]})


def unchecked(name):
    return User.model_construct(name=name, age=1, rights=Right.READ, home=None, friends=[])


def seen(number):
    loose = Loose(x=1)
    loose._seen = number
    return loose
