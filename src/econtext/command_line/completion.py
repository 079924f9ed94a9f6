"""
``econtext completion``: the completion script for a shell, and what the shell asks then.

The strategy: click finds what completes a word.  The scripts are ours, because a place such as ``me@web1:/etc`` is one
word for us, and four for bash, because no blank goes behind a host or a folder, and because names have commas.

Invariants:

* Standard output gets the script and nothing else: a shell executes what it reads there.
* What completes a word does for bash what is typed: a character that is none of a plain word is quoted.

Entered by the main thread.
"""

from __future__ import annotations

import os
import re

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ZshComplete,
    add_completion_class,
    get_completion_class,
    split_arg_string,
)

from econtext.command_line import options

QUOTED = re.compile(r'[^\w@%+=:,./~-]')
HELP = """\
Print the script by which a shell completes the commands, options and hosts of econtext, and paths on hosts.

\b
Bash, in ~/.bashrc:
  eval "$(econtext completion bash)"
Zsh, in ~/.zshrc, behind compinit:
  eval "$(econtext completion zsh)"
Fish:
  econtext completion fish > ~/.config/fish/completions/econtext.fish
"""
BASH = """\
%(complete_func)s() {
    local kind value
    COMPREPLY=()
    while IFS=, read -r kind value; do
        case $kind in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            open) compopt -o nospace; COMPREPLY+=("$value") ;;
            plain) COMPREPLY+=("$value") ;;
        esac
    done < <(COMP_LINE="${COMP_LINE:0:COMP_POINT}" COMP_WORDBREAKS="$COMP_WORDBREAKS" \
        %(complete_var)s=bash_complete "$1" 2>/dev/null)
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""
ZSH = """\
#compdef %(prog_name)s
%(complete_func)s() {
    local kind value text
    local -a lines closed open described
    lines=("${(@f)$(COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT - 1)) %(complete_var)s=zsh_complete \
        ${words[1]} 2>/dev/null)}")
    for kind value text in "${lines[@]}"; do
        case $kind in
            dir) _path_files -/ ;;
            file) _path_files -f ;;
            open) open+=("$value") ;;
            plain) if [[ $text == _ ]]; then closed+=("$value"); else described+=("$value:$text"); fi ;;
        esac
    done
    (( ${#described} )) && _describe -V econtext described -U
    (( ${#closed} )) && compadd -U -V econtext -a closed
    (( ${#open} )) && compadd -U -S '' -V econtext -a open
}
compdef %(complete_func)s %(prog_name)s
"""
FISH = """\
function %(complete_func)s
    for line in (COMP_WORDS=(commandline -cp) COMP_CWORD=(commandline -t) %(complete_var)s=fish_complete \
            %(prog_name)s 2>/dev/null)
        set -l parts (string split \\t -- $line)
        switch $parts[1]
            case dir
                __fish_complete_directories $parts[2]
            case file
                __fish_complete_path $parts[2]
            case '*'
                printf '%%s\\t%%s\\n' $parts[2] "$parts[3]"
        end
    end
end
complete --no-files --command %(prog_name)s --arguments '(%(complete_func)s)'
"""


def kind_of(item: CompletionItem) -> str:
    """Return how a shell takes what completes a word; ``open`` if the word goes on behind that."""
    return 'open' if item.type == 'plain' and item.value.endswith((':', '/')) else str(item.type)


@add_completion_class
class Bash(BashComplete):
    """What bash asks: it has the line, since it breaks words where none ends for us."""

    source_template = BASH

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the one that is completed, and that."""
        line = os.environ['COMP_LINE']
        words = split_arg_string(line)
        incomplete = '' if not words or line[-1:].isspace() else words.pop()
        breaks = set(os.environ.get('COMP_WORDBREAKS', '')) - set(' \t\n')
        last = max((incomplete.rfind(each) for each in breaks), default=-1)
        #: Of the word so much stays as it is: bash completes what stands behind, and takes an @ along.
        self.kept: int = last if incomplete[last:last + 1] == '@' else last + 1
        return words[1:], incomplete

    def format_completion(self, item: CompletionItem) -> str:
        """Return the line for what completes a word."""
        value = item.value[self.kept:]
        return f'{kind_of(item)},{QUOTED.sub(lambda found: chr(92) + found[0], value)}'


@add_completion_class
class Zsh(ZshComplete):
    """What zsh asks."""

    source_template = ZSH

    def format_completion(self, item: CompletionItem) -> str:
        """Return the lines for what completes a word: how it is taken, the word, and what it means."""
        value = item.value.replace(':', '\\:') if item.help else item.value
        return f'{kind_of(item)}\n{value}\n{item.help or "_"}'


@add_completion_class
class Fish(FishComplete):
    """What fish asks, with each character that is typed."""

    source_template = FISH

    def format_completion(self, item: CompletionItem) -> str:
        """Return the line for what completes a word: how it is taken, the word, and what it means."""
        return f'{kind_of(item)}\t{item.value}\t{item.help or ""}'


def called(shell: str) -> int:
    from econtext.command_line.application import application
    kind = get_completion_class(shell)
    assert kind is not None, 'click knows the shells of the choice'
    click.echo(kind(application, {}, 'econtext', '_ECONTEXT_COMPLETE').source())
    return 0


command: click.Command = click.command('completion', cls=options.Command, help=HELP)(
    click.argument('shell', type=click.Choice(['bash', 'zsh', 'fish']))(called))
