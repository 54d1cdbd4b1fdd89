"""Know which samples are easy before paying for them: training with exits, data maps, pools, routers."""

from tierline_cartography.analysis.bill import Bill, World, all_cloud_bill, bills, mean_bill
from tierline_cartography.analysis.charting import chart
from tierline_cartography.analysis.cost import Prices, saved
from tierline_cartography.analysis.data_map import DataMap, data_map
from tierline_cartography.analysis.evaluate import (
    Evaluation,
    Promise,
    evaluate,
    hindsight,
    promises,
    published_costs,
)
from tierline_cartography.analysis.guarantee import conformal_risk_control, learn_then_test
from tierline_cartography.analysis.judge import Verdict, holm, judge
from tierline_cartography.analysis.pools import Pools, Thresholds, find_pools
from tierline_cartography.analysis.routed import routed
from tierline_cartography.analysis.routers import (
    CentroidRouter,
    ConfidenceRouter,
    GainRouter,
    Router,
    cautious,
    fit_centroids,
    fit_gain,
)
from tierline_cartography.analysis.said import Said, calibration_error, fit_temperature, sides
from tierline_cartography.analysis.shifting import Shift, pooled, shifts
from tierline_cartography.analysis.stopping import gain_rule
from tierline_cartography.analysis.verdicts import Ahead, Curve, Outcome
from tierline_cartography.data.rows import Row, Task
from tierline_cartography.data.tables import Columns, read_table
from tierline_cartography.data.tasks import TASKS, load_task
from tierline_cartography.drawing import check_drawing, draw_map, draw_pareto
from tierline_cartography.errors import (
    CartographyError,
    DataError,
    DrawingError,
    PoolError,
    RecipeError,
    RecordError,
    TrainingError,
)
from tierline_cartography.fitting import chart_bundle
from tierline_cartography.records import Part, Records, load_records, save_records
from tierline_cartography.training.bundling import bundle_run
from tierline_cartography.training.examples import Examples, examples_of, text_examples
from tierline_cartography.training.fit import Answers, Dynamics, Progress, answer, fit
from tierline_cartography.training.gather import gather
from tierline_cartography.training.networks import ExitEncoder, ExitNetwork, SplitExits, make_encoder
from tierline_cartography.training.recipe import Recipe
from tierline_cartography.training.run import train_task

__all__ = [
    "TASKS",
    "Ahead",
    "Answers",
    "Bill",
    "CartographyError",
    "CentroidRouter",
    "Columns",
    "ConfidenceRouter",
    "Curve",
    "DataError",
    "DataMap",
    "DrawingError",
    "Dynamics",
    "Evaluation",
    "Examples",
    "ExitEncoder",
    "ExitNetwork",
    "GainRouter",
    "Outcome",
    "Part",
    "PoolError",
    "Pools",
    "Prices",
    "Progress",
    "Promise",
    "Recipe",
    "RecipeError",
    "RecordError",
    "Records",
    "Router",
    "Row",
    "Said",
    "Shift",
    "SplitExits",
    "Task",
    "Thresholds",
    "TrainingError",
    "Verdict",
    "World",
    "all_cloud_bill",
    "answer",
    "bills",
    "bundle_run",
    "calibration_error",
    "cautious",
    "chart",
    "chart_bundle",
    "check_drawing",
    "conformal_risk_control",
    "data_map",
    "draw_map",
    "draw_pareto",
    "evaluate",
    "examples_of",
    "find_pools",
    "fit",
    "fit_centroids",
    "fit_gain",
    "fit_temperature",
    "gain_rule",
    "gather",
    "hindsight",
    "holm",
    "judge",
    "learn_then_test",
    "load_records",
    "load_task",
    "make_encoder",
    "mean_bill",
    "pooled",
    "promises",
    "published_costs",
    "read_table",
    "routed",
    "save_records",
    "saved",
    "shifts",
    "sides",
    "text_examples",
    "train_task",
]
