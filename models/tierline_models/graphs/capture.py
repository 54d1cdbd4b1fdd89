"""Turn a module into a Program with torch.export: functional, without guards, sizes symbolic."""

import re
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export import ExportedProgram, export
from torch.export.graph_signature import ConstantArgument, InputKind, OutputKind

from tierline_models.errors import SplitError
from tierline_models.graphs.inplace import functional, may_share
from tierline_models.graphs.operators import ALLOWED, PYTHON_NAMES, SIZES, packet_of
from tierline_models.graphs.program import Argument, Call, Device, Program, Ref, Structure, Weight, leaves_of
from tierline_models.graphs.refusals import not_exported, not_functional, unknown_operator
from tierline_models.graphs.varying import Dynamic, Examples, as_taken, settled, still_vary, vary

# Checks that the export adds; they compute nothing.
_CHECKS = frozenset(
    {"_assert_tensor_metadata", "_assert_scalar", "_assert_async", "sym_constrain_range_for_size"}
)
_SIGNS = re.compile(r"^aten\.__(and|or|xor)__\.")  # what `&`, `|` and `^` are called in a graph
_VIEWS = frozenset(
    {"expand", "reshape", "view", "transpose", "permute", "select", "slice", "t", "unsqueeze", "squeeze"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """A model's graph, its weights, and what the tracer knows of sizes."""

    program: Program
    weights: dict[str, Tensor]
    sizes: dict[str, Any]  # by value: its size per dimension as int or symbolic; a number's own expression


def capture(model: nn.Module, examples: Examples, dynamic: Dynamic = None) -> Captured:
    """Trace a model.

    Args:
        model: in eval mode.
        examples: its inputs, in order or by name.
        dynamic: by input, the dimensions that may vary; else the first of each, and the second of a matrix of
            whole numbers (token ids) or truth values (a mask).
    """
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, about its own insides
        exported = _export(model, examples, dynamic)
        try:
            return _Reader(exported, traced=True).read()
        except SplitError:  # tracing once more, torch undoes what the reader cannot: it takes longer
            return _Reader(exported.run_decompositions({})).read()


def _export(model: nn.Module, examples: Examples, dynamic: Dynamic) -> ExportedProgram:
    """Export with varying sizes if the model lets them vary, else with those of the example."""
    doubled, spec = vary(examples, dynamic)
    with suppress(Exception):  # a model may insist on the sizes it is given; what fails below is told
        exported = _export_with(model, doubled, spec)
        if still_vary(exported, doubled, examples):
            return exported
    try:
        return _export_with(model, examples, None)
    except Exception as error:
        raise not_exported(model, error) from error


def _export_with(model: nn.Module, examples: Examples, spec: Any) -> ExportedProgram:
    if isinstance(examples, Mapping):
        return export(model, (), dict(examples), dynamic_shapes=spec, strict=False)
    return export(model, tuple(examples), dynamic_shapes=as_taken(model, spec), strict=False)


class _Reader:
    """Reads one exported program into our own records.

    Args:
        exported: the program.
        traced: as it was traced, where operators may still change what they are given.
    """

    def __init__(self, exported: ExportedProgram, *, traced: bool = False) -> None:
        self.exported = exported
        self.traced = traced
        self.shared: set[str] = set()  # values that others may be views of, or that are views themselves
        self.weights: dict[str, Tensor] = {}
        self.sizes: dict[str, Any] = {}
        self.stands_for: dict[str, Argument] = {}  # what a node of the export is called here

    def read(self) -> Captured:
        inputs = self._inputs()
        calls: list[Call] = []
        outputs: tuple[Argument, ...] = ()
        for node in self.exported.graph.nodes:
            if node.op == "call_function":
                calls.extend(self._call(node, calls))
            elif node.op == "output":
                outputs = self._outputs(node)
            elif node.op != "placeholder":
                raise not_functional(f"`{node.target}` runs a graph inside the graph (a branch or a loop)")
        program = Program(
            inputs=inputs, calls=_used(calls, outputs), outputs=outputs, structure=self._structure()
        )
        named = {name for call in program.calls for name in call.weights()}
        named |= {leaf.name for leaf in leaves_of(outputs) if isinstance(leaf, Weight)}
        weights = {name: self.weights[name] for name in self.weights if name in named}
        return Captured(program=program, weights=weights, sizes=self.sizes)

    def _inputs(self) -> tuple[str, ...]:
        inputs = []
        seen: dict[int, str] = {}  # tied weights are one
        nodes = {node.name: node for node in self.exported.graph.nodes if node.op == "placeholder"}
        for spec in self.exported.graph_signature.input_specs:
            name = spec.arg.name
            if spec.kind is InputKind.USER_INPUT:
                if isinstance(spec.arg, ConstantArgument):
                    continue
                inputs.append(name)
                self.shared.add(name)
                self.stands_for[name] = Ref(name)
                self._remember(nodes[name])
                continue
            target = spec.target or name
            tensor = self._weight(target)
            first = seen.setdefault(id(tensor), target)
            self.weights[first] = tensor
            self.stands_for[name] = Weight(first)
        return tuple(inputs)

    def _weight(self, target: str) -> Tensor:
        for place in (self.exported.state_dict, self.exported.constants):
            if isinstance(place.get(target), Tensor):
                found: Tensor = place[target]
                return found
        raise not_functional(f"`{target}` is not a tensor")

    def _call(self, node: fx.Node, calls: list[Call]) -> list[Call]:
        op = _op_of(node)
        changed = functional(op)
        op = changed or op
        packet = packet_of(op)
        if packet in _CHECKS or node.target in (torch._check,):
            return []
        if packet == "sym_stride":
            raise not_functional("the model looks at the strides of its activations")
        if op not in PYTHON_NAMES.values() and op not in SIZES and packet not in ALLOWED:
            if not node.users:
                return []
            raise unknown_operator(op, _module_of(node))
        args = tuple(self._argument(arg) for arg in node.args)
        if self._is_needless_copy(packet, node, args, calls):
            self.stands_for[node.name] = args[0]
            return []
        if changed:
            self._replace(args[0], node)
        self.stands_for[node.name] = Ref(node.name)
        self._remember(node)
        # A view insists on strides, which differ between devices, and once an activation was sent.
        op = "aten.reshape.default" if op in ("aten.view.default", "aten._unsafe_view.default") else op
        call = Call(node.name, op, args, {key: self._argument(arg) for key, arg in node.kwargs.items()})
        if may_share(op):
            self.shared |= {call.name, *call.uses()}
        return [call]

    def _replace(self, changed: Argument, node: fx.Node) -> None:
        """From here on, what is changed in place is what the node makes; nobody else may look at it."""
        if not isinstance(changed, Ref) or changed.name in self.shared:
            raise not_functional(f"`{node.name}` changes in place what other values share")
        for name in [name for name, stands in self.stands_for.items() if stands == changed]:
            self.stands_for[name] = Ref(node.name)

    def _is_needless_copy(
        self, packet: str, node: fx.Node, args: tuple[Argument, ...], calls: list[Call]
    ) -> bool:
        """A copy of what nobody else can see being changed, left behind by dropout and the like."""
        if packet == "dropout" and args[2:] == (False,):
            return isinstance(args[0], Ref)
        if self.traced or packet != "clone" or node.kwargs or len(args) != 1 or not isinstance(args[0], Ref):
            return False
        made = next((call for call in reversed(calls) if call.name == args[0].name), None)
        return made is not None and packet_of(made.op) not in _VIEWS and made.op != "getitem"

    def _argument(self, argument: Any) -> Argument:
        match argument:
            case fx.Node():
                if argument.name not in self.stands_for:
                    raise not_functional(f"`{argument.name}` is used as a value but is none")
                return self.stands_for[argument.name]
            case list() | tuple():
                return tuple(self._argument(inner) for inner in argument)
            case torch.device():
                return Device()
            case None | bool() | int() | float() | str():
                return argument
            case torch.dtype() | torch.layout() | torch.memory_format():
                return argument
            case _:
                raise not_functional(f"an operator takes {argument!r}, neither a tensor nor a plain value")

    def _remember(self, node: fx.Node) -> None:
        value = node.meta.get("val")
        if isinstance(value, Tensor):
            self.sizes[node.name] = tuple(settled(size) for size in value.shape)
        elif isinstance(value, torch.SymInt | int):
            self.sizes[node.name] = settled(value)

    def _outputs(self, node: fx.Node) -> tuple[Argument, ...]:
        specs = self.exported.graph_signature.output_specs
        for spec in specs:
            if spec.kind is not OutputKind.USER_OUTPUT:
                what = spec.target or spec.arg.name
                raise not_functional(f"the model changes its own state `{what}` at every call")
        returned: Any = node.args[0]
        return tuple(self._argument(arg) for arg in returned)

    def _structure(self) -> Structure:
        spec = self.exported.call_spec.out_spec
        return _structure_of(torch.utils._pytree.tree_unflatten(list(range(spec.num_leaves)), spec))


def _used(calls: list[Call], outputs: tuple[Argument, ...]) -> tuple[Call, ...]:
    """The calls that the outputs need."""
    needed = {leaf.name for leaf in leaves_of(outputs) if isinstance(leaf, Ref)}
    kept = []
    for call in reversed(calls):
        if call.name in needed:
            kept.append(call)
            needed.update(call.uses())
    return tuple(reversed(kept))


def _op_of(node: fx.Node) -> str:
    target: Any = node.target
    return PYTHON_NAMES.get(target) or _SIGNS.sub(r"aten.bitwise_\1.", str(target))


def _module_of(node: fx.Node) -> str:
    """The dotted path of the module whose code makes this call."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    return str(stack[-1][0]) if stack else ""


def _structure_of(nested: Any) -> Structure:
    match nested:
        case int():
            return nested
        case tuple():
            return {"tuple": [_structure_of(part) for part in nested]}
        case list():
            return {"list": [_structure_of(part) for part in nested]}
        case Mapping() if all(isinstance(key, str) for key in nested):
            return {"dict": {key: _structure_of(part) for key, part in nested.items()}}
    raise SplitError(
        f"the model returns a {type(nested).__name__}; have it return tensors in tuples, lists or dicts"
    )
