import pytest

from tierline_scheduler import Objective, ObjectiveError, SchedulerConfig


def test_an_objective_has_useful_defaults() -> None:
    objective = Objective()

    assert objective.deadline == 0.5
    assert objective.accuracy_drop == 0.01
    assert objective.max_utilisation == 0.8


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("deadline", 0),
        ("deadline", float("nan")),
        ("accuracy_drop", 1.5),
        ("max_utilisation", 0),
        ("margin", -1),
    ],
)
def test_an_objective_that_makes_no_sense_is_refused_by_name(field: str, value: float) -> None:
    with pytest.raises(ObjectiveError, match=f"objective {field} is .*; give a number from"):
        Objective(**{field: value})


@pytest.mark.parametrize(
    ("field", "value"), [("name", "Über"), ("site", "a/b"), ("round_seconds", 0), ("silence", -1)]
)
def test_a_config_that_makes_no_sense_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(ObjectiveError, match=field):
        SchedulerConfig(**{"name": "scheduler", "broker": "mqtt://127.0.0.1", field: value})


def test_a_config_never_shows_its_password() -> None:
    config = SchedulerConfig(name="scheduler", broker="mqtt://127.0.0.1", password="open-sesame")

    assert "open-sesame" not in repr(config)
