import pytest

from tierline.errors import UsageError
from tierline.labelled import read_labelled
from tierline_models import Sample
from tierline_models.samples import line_of


def test_what_the_models_print_is_read_back(tmp_path):
    samples = [Sample(data=b"\x00good", label="positive"), Sample(data=b"", label=None)]
    file = tmp_path / "inputs.jsonl"
    file.write_text("".join(map(line_of, samples)))

    assert read_labelled(str(file)) == [(b"\x00good", "positive"), (b"", None)]


@pytest.mark.parametrize(
    "line", ["{", "[]", "7", '{"label": "x"}', '{"data": 7}', '{"data": "!!"}', '{"data": "", "label": 7}']
)
def test_a_line_that_is_something_else_is_named(tmp_path, line):
    file = tmp_path / "inputs.jsonl"
    file.write_text(f'{{"data": "", "label": null}}\n{line}\n')

    with pytest.raises(UsageError, match="line 2 of"):
        read_labelled(str(file))


def test_a_file_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        read_labelled(str(tmp_path / "nowhere"))
