"""Loggers that are kept no longer than their contexts."""

from __future__ import annotations

import logging

from econtext.controller.runtime import loggers

TABLE = logging.Logger.manager.loggerDict


def test_nothing_is_left_of_loggers_that_were_given_back() -> None:
    logging.getLogger('econtext')
    before = dict(TABLE)
    made = [loggers.borrow(f'econtext.ctx.test.{i}.inner.{j}') for i in range(3) for j in range(2)]
    assert [logging.getLogger(each.name) for each in made] == made
    for each in made:
        loggers.give_back(each)
    assert before == TABLE


def test_contexts_of_one_name_share_it_to_the_last() -> None:
    one, two = loggers.borrow('econtext.ctx.shared'), loggers.borrow('econtext.ctx.shared')
    assert one is two
    loggers.give_back(one)
    assert TABLE['econtext.ctx.shared'] is one
    loggers.give_back(two)
    assert 'econtext.ctx.shared' not in TABLE


def test_one_that_the_program_configured_stays() -> None:
    logger = loggers.borrow('econtext.ctx.configured')
    logger.setLevel(logging.ERROR)
    loggers.give_back(logger)
    assert logging.getLogger('econtext.ctx.configured') is logger
    logger.setLevel(logging.NOTSET)
    loggers.give_back(loggers.borrow('econtext.ctx.configured'))
    assert 'econtext.ctx.configured' not in TABLE


def test_one_that_is_held_goes_on_to_work() -> None:
    logger = loggers.borrow('econtext.ctx.held')
    loggers.give_back(logger)
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    logging.getLogger('econtext').addHandler(handler)
    try:
        logger.error('late')
    finally:
        logging.getLogger('econtext').removeHandler(handler)
    assert [record.getMessage() for record in records] == ['late']
