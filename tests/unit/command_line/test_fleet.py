"""The table of ``econtext fleet``, and the list that it is on a narrow terminal."""

from __future__ import annotations

from econtext.command_line.fleet import COLUMNS, table

ROWS: list[tuple[str, ...]] = [
    COLUMNS, ('web1', 'yes', '3.11.2', 'Linux 6.1.0-18-amd64 x86_64', '12 ms', '0.30 ms'),
    ('web2.example.com', 'no', "web2: the host's name cannot be resolved. Check the spelling of the name."),
]


def test_a_table_where_there_is_room() -> None:
    for room in 0, 80, 200:
        lines = table(ROWS, room).splitlines()
        assert len(lines) == len(ROWS)
        assert lines[0].split() == list(COLUMNS)


def test_a_list_where_there_is_none() -> None:
    text = table(ROWS, 40)
    assert text.startswith('web1\n  ANSWERS  yes\n  PYTHON   3.11.2\n  SYSTEM   Linux 6.1.0-18-amd64 x86_64\n')
    assert text.endswith('\n           spelling of the name.\n')
    assert max(map(len, text.splitlines())) <= 40
    assert [word for row in ROWS[1:] for cell in row for word in cell.split()] == [
        word for word in text.split() if word not in COLUMNS]
