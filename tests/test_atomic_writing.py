"""Files are there as a whole or not at all."""

from pathlib import Path

import pytest

from lrpsweep.files import write_atomically


def test_text_and_bytes_are_written_and_nothing_else_is_left(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a", "γ")
    write_atomically(tmp_path / "b", b"\x00")
    assert (tmp_path / "a").read_text(encoding="utf-8") == "γ"
    assert (tmp_path / "b").read_bytes() == b"\x00"
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b"}


def test_an_older_file_stays_when_writing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_text("old")

    def full(path: Path, target: Path) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="no space"):
        write_atomically(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_what_a_link_leads_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    write_atomically(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "a").read_text() == "new"
