import pytest

from tierline_models import BundleError, load_bundle
from tierline_models.__main__ import main
from tierline_models.bundle import digest_of


def test_an_unknown_bundle_is_refused_with_the_names_that_there_are():
    with pytest.raises(BundleError, match="no bundle called 'speech'; try `text` or `image`"):
        load_bundle("speech")


def test_a_folder_that_holds_no_bundle_is_refused(tmp_path):
    with pytest.raises(BundleError, match=r"holds no bundle\.json"):
        load_bundle(tmp_path)


def test_a_folder_with_a_bundle_of_another_version_is_refused(tmp_path):
    (tmp_path / "bundle.json").write_text("{}")

    with pytest.raises(BundleError, match=r"a bundle of format None, this version reads \d+; make it again"):
        load_bundle(str(tmp_path))


def test_the_digest_hangs_on_name_code_and_content_and_on_nothing_else():
    digest = digest_of("text", 1, {"a": "00", "b": "11"})

    assert digest == digest_of("text", 1, {"b": "11", "a": "00"})
    assert (
        len(
            {
                digest,
                digest_of("image", 1, {"a": "00", "b": "11"}),
                digest_of("text", 2, {"a": "00", "b": "11"}),
                digest_of("text", 1, {"a": "00", "b": "12"}),
                digest_of("text", 1, {"a": "00", "c": "11"}),
            }
        )
        == 5
    )


def test_the_command_fetches_a_bundle_and_says_what_it_is(capsys, monkeypatch, text_bundle):
    monkeypatch.setattr("sys.argv", ["tierline_models", "text"])

    assert main() == 0

    out = capsys.readouterr().out
    assert f"text {text_bundle.digest[:12]}: 6 blocks, exits after 2, 4, 6, 2920 test samples" in out


def test_the_command_refuses_an_unknown_bundle_in_one_line(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["tierline_models", "speech"])

    assert main() == 2
    assert capsys.readouterr().err.count("\n") == 1
