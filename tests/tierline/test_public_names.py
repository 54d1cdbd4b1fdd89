"""The public names of every component, and that nobody outside reaches behind them."""

import ast
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PUBLIC = {
    "tierline": """
        Answered Client InferenceError connect load split
    """,
    "tierline_broker": """
        CREDIT Fallback LEADER LEADER_NAME LEARNT Leader Learnt ORDER Order PRICE Price REQUIREMENT
        Requirement requiring Tally
        MAX_MESSAGE_BYTES MAX_PAYLOAD_BYTES NODE PLAN PROBE PROFILE RAW_INPUT RESULT ROOT TELEMETRY
        TOPICS WIRE_VERSION WORK Address AddressError Answer Birth Broker BrokerError Client CodecCost
        CodecUse ConnectError ExitCard ExitReport PoolCard
        Credit CreditError DeadlineError Failure Link LinkReport ModelCard Part Plan PointCard Pool Presence
        Profile PublishError Receiver Record RecordError RefusedError Result Route RouteCard Sender Sent
        ServerError Session Stage Step Subscription Telemetry Tier Topic Work choose_broker connect
        connect_client follow generate_password is_loopback is_name node_of open_receiver open_sender pack
        parse_address running serve unpack write_password_file
    """,
    "tierline_cartography": """
        TASKS Ahead Answers Bill CartographyError CentroidRouter Columns ConfidenceRouter Curve DataError
        DataMap DrawingError Dynamics Evaluation Examples ExitEncoder ExitNetwork GainRouter
        Outcome Part PoolError Pools Prices Progress Promise Recipe RecipeError RecordError Records
        bundle_run chart chart_bundle
        Router Row Said Shift SplitExits Task Thresholds TrainingError Verdict World
        all_cloud_bill answer bills calibration_error cautious check_drawing conformal_risk_control
        data_map draw_map draw_pareto evaluate examples_of find_pools fit fit_centroids
        fit_gain fit_temperature gain_rule gather hindsight holm judge learn_then_test load_records
        load_task make_encoder mean_bill pooled promises published_costs read_table routed save_records saved
        shifts sides
        text_examples train_task
    """,
    "tierline_codecs": """
        CALIBRATED CODECS Calibration Choice Codec CodecError CodecSeconds Device Limits TensorStatistics
        break_even bytes_of calibrate choose decode decode_tensors encode encode_tensors lend statistics_from
        statistics_of warm_up
    """,
    "tierline_models": """
        ActivationError Array Block BlockCosts BlockSeconds Bundle BundleError BundleProfile Carried
        CodecFigure CodecReport Codings DeviceProfile Embedding ExitAnswer FetchError ImageHead
        ImageInput InputError Limit LoraLinear ModelCardData ModelError ModelProfile OnnxBundle
        PointBudget PointData PooledHead RouteData Sample Scaled SegmentedModel Served ServedModel
        ShapeError SizeProfile Snippet Source Split SplitError SplitExit SplitPoint Subject
        TensorSpec TextInput TokenHead activations adapt attach block_costs codings_from_files
        codings_to_files device_class label_by_model load load_bundle load_ratings load_served
        load_snippets measure_budgets measure_device normalise one_thread onnx_differences
        photographs pretrained_encoder pretrained_tokenizer profile_at_start profile_model
        profile_of read_profile scale shipped_profile sizes_to_measure split subject_of
        write_codings Cartography ExitChart ExitData Judged LegChart PoolData SettingData Spoken
        cartography_from_json cartography_to_json gain_features judge
    """,
    "tierline_nodes": """
        Conditions EmulationError NodeConfig NodeError SampleError codec_costs run_node
    """,
    "tierline_replay": """
        GOOD Change Child ChildError ChildRefusedError Deployment Finished LinkTrace Live Outcome PlanSeen
        PlotError ReplayError Request Sample Scenario StartError Summary Supervisor TraceError World
        check_plot deployment document draw drive latency outcome_lines parse_arrivals parse_mahimahi
        poisson read_arrivals read_link_trace read_samples route_in_words run schedule split_by_kind
        start_scheduler summarise supervise tier_share uplink_bytes verdict
    """,
    "tierline_scheduler": """
        advice is_split route_text
        Alternative ClusterState Estimate Guide Job LinkState NodeState Objective ObjectiveError
        RefusedError Reluctance Round SchedulerConfig SchedulerError Standing Verdict apply expire explain
        SlowPrices fleet followed guide keep_or_switch plan run_round run_scheduler slow_prices
    """,
}
COMPONENTS = {
    "broker": "tierline_broker",
    "codecs": "tierline_codecs",
    "models": "tierline_models",
    "cartography": "tierline_cartography",
    "nodes": "tierline_nodes",
    "scheduler": "tierline_scheduler",
    "replay": "tierline_replay",
}


@pytest.mark.parametrize("component", PUBLIC)
def test_public_names_are_the_pinned_ones_sorted(component: str) -> None:
    names = import_module(component).__all__

    assert sorted(PUBLIC[component].split()) == sorted(names)
    assert list(names) == sorted(names, key=_as_ruff_sorts)


@pytest.mark.parametrize("component", PUBLIC)
def test_every_public_name_is_there(component: str) -> None:
    module = import_module(component)

    assert all(hasattr(module, name) for name in module.__all__)


def test_every_component_is_pinned() -> None:
    assert set(COMPONENTS.values()) | {"tierline"} == set(PUBLIC)


def test_nobody_imports_the_inner_modules_of_another_component() -> None:
    offences = [
        f"{path.relative_to(ROOT)} imports {imported}"
        for path, home in _sources()
        for imported in _imported(path)
        if "." in imported and imported.partition(".")[0] in COMPONENTS.values()
        if imported.partition(".")[0] != home
    ]

    assert offences == []


def _sources() -> Iterator[tuple[Path, str]]:
    for folder, package in COMPONENTS.items():
        yield from ((path, package) for path in (ROOT / folder / package).rglob("*.py"))
    for folder in ("tierline", "benchmarks", "examples"):
        yield from ((path, "tierline") for path in (ROOT / folder).rglob("*.py"))


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def _as_ruff_sorts(name: str) -> tuple[int, str]:
    """Constants, then classes, then the rest: as ruff sorts `__all__`."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)
