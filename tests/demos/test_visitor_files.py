"""Visitors' files: old ones go, new ones stay, too many go oldest first, and all go at the end."""

import asyncio
import os
import time

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


def test_a_file_handed_out_again_starts_anew():
    files = VisitorFiles(keep_s=0.4)
    path = files.new_folder() / "face.png"
    path.write_bytes(b"1")
    time.sleep(0.3)
    os.utime(path)  # what Gradio does
    time.sleep(0.2)
    assert files.sweep(time.time()) == 0
    time.sleep(0.3)
    assert files.sweep(time.time()) == 1
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
    files = VisitorFiles(keep_s=0.2)
    folder = files.new_folder()
    time.sleep(0.3)
    (folder / "new.png").write_bytes(b"1")
    assert files.sweep(time.time()) == 0
    assert (folder / "new.png").exists()
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
