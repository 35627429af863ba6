"""Publishing: only what is whole and described, to a folder or as one commit; offline nothing is sent."""

from types import SimpleNamespace

import huggingface_hub
import pytest

from s2f.checkpoints.hashes import read_manifest, write_manifest
from s2f.checkpoints.model_card import CardFacts
from s2f.checkpoints.publish import publish
from s2f.errors import CheckpointError, OutputError, UsageError
from s2f.matching.heads import EmbeddingHead
from s2f.matching.model import MatchingModel
from s2f.weights.verify import verify


@pytest.fixture
def described(tiny_checkpoint):
    (tiny_checkpoint / "README.md").write_text("# tiny\n")
    write_manifest(tiny_checkpoint)
    return tiny_checkpoint


def test_to_a_folder(described, tmp_path):
    assert publish(described, to_folder=tmp_path / "public") == str(tmp_path / "public")
    assert verify(tmp_path / "public").ok
    assert read_manifest(tmp_path / "public") == read_manifest(described)
    with pytest.raises(OutputError, match="does not exist yet"):
        publish(described, to_folder=tmp_path / "public")


def test_what_is_not_whole_or_not_described_stays_here(described, tmp_path):
    with pytest.raises(UsageError, match="got neither"):
        publish(described)
    with pytest.raises(UsageError, match="got both"):
        publish(described, "me/x", tmp_path / "public")
    (described / "secrets.txt").write_text("x")
    with pytest.raises(CheckpointError, match=r"secrets\.txt is not listed"):
        publish(described, to_folder=tmp_path / "public")
    (described / "secrets.txt").unlink()
    (described / "README.md").unlink()
    write_manifest(described)
    with pytest.raises(CheckpointError, match="a model card"):
        publish(described, to_folder=tmp_path / "public")
    assert not (tmp_path / "public").exists()


@pytest.fixture
def hub(monkeypatch):
    """A hub that remembers what it was sent."""
    sent = SimpleNamespace(repo=None, files=None, message=None)

    def create_repo(self, repo_id, private, exist_ok):
        sent.repo = (repo_id, private)

    def upload_folder(self, repo_id, folder_path, allow_patterns, commit_message):
        assert repo_id == sent.repo[0]
        sent.files, sent.message = sorted(allow_patterns), commit_message
        return SimpleNamespace(commit_url=f"hub://{repo_id}/commit/1")

    monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", create_repo)
    monkeypatch.setattr(huggingface_hub.HfApi, "upload_folder", upload_folder)
    return sent


def test_to_a_hub(described, hub):
    assert publish(described, "me/tiny", private=True) == "hub://me/tiny/commit/1"
    assert hub.repo == ("me/tiny", True)
    assert hub.files == sorted([*read_manifest(described), "SHA256SUMS"])


def test_a_hub_out_of_reach_and_a_bad_name(described):
    """The tests' guard refuses the connection, as a machine without a network does."""
    with pytest.raises(OutputError, match=r"a hub that takes me/tiny.*--to_folder"):
        publish(described, "me/tiny")
    with pytest.raises(UsageError, match="a repository id"):
        publish(described, "a/b/c")


def test_a_pipeline_publishes_itself_with_a_card(tiny_pipeline, finished_run, tmp_path, hub):
    facts = CardFacts("apache-2.0", str(finished_run))
    assert tiny_pipeline.push_to_hub(to_folder=tmp_path / "public", card=facts) == str(tmp_path / "public")
    assert "# public" in (tmp_path / "public" / "README.md").read_text()
    assert verify(tmp_path / "public").ok
    assert tiny_pipeline.push_to_hub("me/voices", card=facts).startswith("hub://me/voices")
    assert "README.md" in hub.files


def test_a_matching_system_too(tiny_pipeline, finished_run, tmp_path):
    head = EmbeddingHead(voice_size=16, face_size=16, embedding_dim=4, hidden_size=4)
    model = MatchingModel(tiny_pipeline.voice_encoder, tiny_pipeline.face_encoder, head)
    model.push_to_hub(to_folder=tmp_path / "public", card=CardFacts("other", str(finished_run)))
    assert verify(tmp_path / "public").networks.keys() == {"voice_encoder", "face_encoder", "head"}
    assert MatchingModel.from_pretrained(tmp_path / "public").metric == "l2"
