"""Weights are downloaded once, go on after a cut, and only the right file is kept."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from file_server import serving

from napari_sem_classify.core.common.errors import Cancelled, ModelError
from napari_sem_classify.core.common.job import Job
from napari_sem_classify.core.network import backbone
from napari_sem_classify.core.network.fetch import fetch_backbone

ID = "resnet50-imagenet-torchvision-v1"
CONTENT = np.random.default_rng(0).bytes(3_000_000)


@pytest.fixture
def server():
    with serving() as server:
        server.files["/weights.pth"] = CONTENT
        yield server


@pytest.fixture
def folder(tmp_path, monkeypatch, server):
    """The user's weights folder; the catalogue points at the server."""
    known = hashlib.sha256(CONTENT).hexdigest()
    info = replace(backbone.BACKBONES[ID], url=f"{server.address}/weights.pth", sha256=known[:8])
    monkeypatch.setitem(backbone.BACKBONES, ID, info)
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *_a, **_k: tmp_path)
    return tmp_path / "weights"


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_download_is_checked_and_kept_and_not_repeated(folder, server):
    readings = []
    path = fetch_backbone(ID, job=Job(readings.append))
    assert path.read_bytes() == CONTENT
    assert names(folder) == [path.name]
    assert (readings[-1].done, readings[-1].total) == (3, 3)
    assert fetch_backbone(ID) == path
    assert len(server.asked) == 1


def test_a_download_that_is_cut_goes_on_where_it_stopped(folder, server):
    server.cuts = [1_000_000, 1_500_000]
    assert fetch_backbone(ID).read_bytes() == CONTENT
    ranges = [asked for _, asked in server.asked]
    assert ranges[0] is None
    starts = [int(asked.removeprefix("bytes=").rstrip("-")) for asked in ranges[1:]]
    assert len(starts) == 2
    assert 0 < starts[0] < starts[1] < len(CONTENT)


def test_a_later_run_goes_on_too(folder, server):
    cancel = Job()
    with pytest.raises(Cancelled):
        fetch_backbone(ID, job=cancel.telling(lambda at: at.done >= 1 and cancel.cancel()))
    assert not (folder / backbone.BACKBONES[ID].filename).exists()
    assert fetch_backbone(ID).read_bytes() == CONTENT
    assert server.asked[1][1].startswith("bytes=")
    assert server.asked[1][1] != "bytes=0-"
    assert names(folder) == [backbone.BACKBONES[ID].filename]


def test_it_starts_anew_where_the_remote_file_has_changed(folder, server):
    server.files["/weights.pth"] = b"x" * len(CONTENT)
    cancel = Job()
    with pytest.raises(Cancelled):
        fetch_backbone(ID, job=cancel.telling(lambda at: at.done >= 1 and cancel.cancel()))
    server.files["/weights.pth"], server.version = CONTENT, '"2"'
    assert fetch_backbone(ID).read_bytes() == CONTENT


def test_a_file_with_the_wrong_checksum_is_refused_and_not_kept(folder, server):
    server.files["/weights.pth"] = CONTENT[:-1] + b"?"
    with pytest.raises(ModelError, match=r"wrong checksum.*not kept"):
        fetch_backbone(ID)
    assert names(folder) == []


def test_without_a_published_checksum_only_a_resnet50_is_kept(folder, server, monkeypatch):
    monkeypatch.setitem(backbone.BACKBONES, ID, replace(backbone.BACKBONES[ID], sha256=""))
    server.files["/weights.pth"] = b"<html>sign in to the network</html>"
    with pytest.raises(ModelError, match="is not ResNet50"):
        fetch_backbone(ID)
    assert names(folder) == []


def test_a_damaged_file_is_replaced(folder, server):
    folder.mkdir()
    (folder / backbone.BACKBONES[ID].filename).write_bytes(CONTENT[:100])
    assert fetch_backbone(ID).read_bytes() == CONTENT


def test_offline_there_is_one_sentence_and_what_has_come_is_kept(folder, server, monkeypatch):
    server.cuts = [1_000_000, 0, 0, 0]
    with pytest.raises(ModelError, match=r"check the internet connection.*1\.0 MB .*are kept"):
        fetch_backbone(ID)
    assert (folder / f".part-{backbone.BACKBONES[ID].filename}").stat().st_size > 500_000
    away = replace(backbone.BACKBONES[ID], url="http://127.0.0.1:9/weights.pth")
    monkeypatch.setitem(backbone.BACKBONES, ID, away)
    with pytest.raises(ModelError, match="check the internet connection"):
        fetch_backbone(ID)


def test_an_answer_that_is_no_file_is_told(folder, server):
    server.status = 404
    with pytest.raises(ModelError, match="answered 404"):
        fetch_backbone(ID)


def test_a_command_that_is_stopped_says_what_is_kept(folder, server, monkeypatch, capsys):
    from napari_sem_classify.cli import main
    from napari_sem_classify.cli.shell import STOPPED

    server.cuts = [1_000_000]
    monkeypatch.setattr(Job, "cancelled", property(lambda _job: len(server.asked) > 1))
    monkeypatch.setattr("sys.argv", ["napari-sem-classify", "models", "fetch", ID])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == STOPPED
    told = capsys.readouterr().err
    assert told == "Stopped; the 1.0 MB that have come are kept, and the next try goes on there.\n"


def test_the_network_in_the_box_needs_no_download(folder, server):
    assert fetch_backbone(backbone.DEFAULT_BACKBONE).is_file()
    assert server.asked == []


def test_the_command_line_lists_and_fetches_networks(folder):
    import json

    from typer.testing import CliRunner

    from napari_sem_classify.cli import app

    def state():
        listed = json.loads(CliRunner().invoke(app, ["models", "list", "--json"]).stdout)
        return {each["name"]: each["problem"] for each in listed if each["source"] == "network"}

    assert state()[ID] == "not downloaded"
    assert state()[backbone.DEFAULT_BACKBONE] is None
    fetched = CliRunner().invoke(app, ["models", "fetch", ID, "--json"])
    assert fetched.exit_code == 0, fetched.stderr
    assert json.loads(fetched.stdout)["path"].endswith(backbone.BACKBONES[ID].filename)
    assert state()[ID] is None
    unknown = CliRunner().invoke(app, ["models", "fetch", "nonsense"])
    assert unknown.exit_code == 1
    assert "no network called 'nonsense'" in unknown.stderr
