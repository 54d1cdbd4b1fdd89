"""Know which samples are easy before paying for them: training with exits, data maps, pools, routers."""

from tierline_cartography.data.rows import Row, Task
from tierline_cartography.data.tables import Columns, read_table
from tierline_cartography.data.tasks import TASKS, load_task
from tierline_cartography.errors import (
    CartographyError,
    DataError,
    PoolError,
    RecipeError,
    RecordError,
    TrainingError,
)
from tierline_cartography.records import Part, Records, load_records, save_records
from tierline_cartography.training.examples import Examples, examples_of, text_examples
from tierline_cartography.training.fit import Answers, Dynamics, Progress, answer, fit
from tierline_cartography.training.gather import gather
from tierline_cartography.training.networks import ExitEncoder, ExitNetwork, SplitExits, make_encoder
from tierline_cartography.training.recipe import Recipe
from tierline_cartography.training.run import train_task

__all__ = [
    "TASKS",
    "Answers",
    "CartographyError",
    "Columns",
    "DataError",
    "Dynamics",
    "Examples",
    "ExitEncoder",
    "ExitNetwork",
    "Part",
    "PoolError",
    "Progress",
    "Recipe",
    "RecipeError",
    "RecordError",
    "Records",
    "Row",
    "SplitExits",
    "Task",
    "TrainingError",
    "answer",
    "examples_of",
    "fit",
    "gather",
    "load_records",
    "load_task",
    "make_encoder",
    "read_table",
    "save_records",
    "text_examples",
    "train_task",
]
