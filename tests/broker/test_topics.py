import pytest

from tierline_broker import NODE, TOPICS, RecordError, is_name, node_of
from tierline_broker.records import Work


def test_a_topic_names_site_kind_and_node():
    assert NODE.of("home", "pi-1") == "tierline/1/home/node/pi-1"
    assert NODE.of("home", "+") == "tierline/1/home/node/+"


def test_every_kind_has_one_topic_and_the_agreed_quality_of_service():
    kinds = {topic.kind: (topic.qos, topic.retain) for topic in TOPICS}

    assert kinds == {
        "node": (1, True),
        "profile": (1, True),
        "plan": (1, True),
        "order": (1, True),
        "requirement": (1, True),
        "leader": (1, True),
        "price": (1, True),
        "learnt": (1, True),
        "telemetry": (0, False),
        "credit": (0, False),
        "work": (1, False),
        "result": (1, False),
    }


def test_every_owner_is_a_field_of_its_record():
    for topic in TOPICS:
        assert topic.owner is None or topic.owner in topic.record.model_fields
    assert next(topic for topic in TOPICS if topic.record is Work).owner is None


def test_a_topic_gives_its_node():
    assert node_of("tierline/1/home/work/pi-1") == "pi-1"


@pytest.mark.parametrize(
    "topic",
    ["", "a/b", "tierline/1/home/work", "tierline/1/home/work/Pi", "tierline/1/ho me/work/pi", "a/b/c/d/e/f"],
)
def test_a_topic_of_another_shape_is_a_record_error(topic):
    with pytest.raises(RecordError) as caught:
        node_of(topic)

    assert caught.value.code == "bad-topic"


@pytest.mark.parametrize("name", ["a", "pi-1", "0", "a" * 63])
def test_names_are_lower_case_digits_and_hyphens(name):
    assert is_name(name)


@pytest.mark.parametrize("name", ["", "-a", "A", "a b", "a/b", "a+", "#", "a" * 64, "a\n", "é"])
def test_other_names_are_refused(name):
    assert not is_name(name)
