"""Visitors' files: old ones go, new ones stay, too many go oldest first, and all go at the end."""

import asyncio
import time

import pytest

from demos import visitor_files
from demos.visitor_files import VisitorFiles


def test_only_what_is_old_goes():
    files = VisitorFiles(keep_s=100)
    folder = files.new_folder()
    (folder / "face.png").write_bytes(b"1")
    (files.root / "broken-upload").write_bytes(b"22")
    now = time.time()
    assert files.sweep(now + 99) == 0
    assert files.sweep(now + 101) == 2
    assert not folder.exists()
    assert files.root.is_dir()
    files.remove()
    assert not files.root.exists()


def test_a_file_that_is_used_starts_anew():
    files = VisitorFiles(keep_s=100)
    path = files.new_folder() / "face.png"
    path.write_bytes(b"1")
    old = path.lstat().st_ctime
    time.sleep(0.05)
    assert files.touch(path)
    assert path.lstat().st_ctime > old
    assert files.sweep(old + 100.01) == 0
    assert files.sweep(time.time() + 101) == 1
    assert not files.touch(path)
    files.remove()


@pytest.mark.parametrize("other", ["/etc/passwd", "a\0b", "x" * 5000, "", ".", "https://example.com/a", "../a"])
def test_other_files_are_nobodys(other):
    files = VisitorFiles(keep_s=100)
    assert not files.touch(other)
    assert not files.touch(f"{files.root}/{other}")
    (files.root / "link").symlink_to("/etc/hostname")
    assert not files.touch(files.root / "link")
    files.remove()


def test_the_oldest_go_when_there_are_too_many(monkeypatch):
    monkeypatch.setattr(visitor_files, "MOST_BYTES", 25)
    files = VisitorFiles(keep_s=1000)
    paths = []
    for number in range(4):
        paths.append(files.new_folder() / f"{number}.bin")
        paths[-1].write_bytes(b"x" * 10)
        time.sleep(0.02)
    assert files.sweep(time.time()) == 2
    assert [path.exists() for path in paths] == [False, False, True, True]
    files.remove()


def test_a_folder_in_use_stays():
    files = VisitorFiles(keep_s=100)
    (files.new_folder() / "new.png").write_bytes(b"1")
    files.new_folder()
    assert files.sweep(time.time() + 99) == 0
    assert len(list(files.root.iterdir())) == 2
    files.remove()


def test_names_cannot_be_guessed():
    files = VisitorFiles(keep_s=10)
    names = {files.new_folder().name for _ in range(50)}
    assert len(names) == 50
    assert all(len(name) == 32 for name in names)
    files.remove()


def test_sweeping_goes_on_by_itself():
    files = VisitorFiles(keep_s=0.3)

    async def wait():
        task = asyncio.create_task(files.sweep_for_ever())
        (files.root / "a").write_bytes(b"1")
        await asyncio.sleep(0.6)
        task.cancel()

    asyncio.run(wait())
    assert list(files.root.iterdir()) == []
    files.remove()
