"""Where values in a program come from, as far as its text tells. It is parsed, never run.

Names are those of the whole file, whatever their scope; what one means somewhere is what was bound to it last before,
and what other branches of the same `if` bind to it. That is wrong for some programs, and good enough for a guess.
"""

from __future__ import annotations

import ast
import bisect
import math
import operator
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

UNKNOWN: Any = object()
"""What is no literal, nor easily made of some."""
_DEEPEST = 16
_LONGEST = 16
"""Of a literal tuple."""
_FARTHEST = 256
"""How many bindings of a name are looked back upon."""
_CALLS = 32
"""Of a function, whose arguments are looked at."""
_OPERATORS: Mapping[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: math.pow,  # of floats, so that nothing becomes large
}
Place = tuple[int, int]


class _Binding(NamedTuple):
    """Of a name: since where, to what, in which branches, and whether it changes or replaces what was there."""

    place: Place
    nodes: tuple[ast.AST, ...]
    branches: Mapping[ast.If, int]
    change: bool


class Reached(NamedTuple):
    """What an expression is made of, in the order of the text. open: whether the origin of some is not told."""

    nodes: tuple[ast.AST, ...]
    open: bool


@dataclass(frozen=True, eq=False)
class Source:
    """A parsed program. imported: local name -> what it is called where it comes from, its module left out."""

    tree: ast.Module
    imported: Mapping[str, str]
    parents: Mapping[ast.AST, ast.AST]
    bindings: Mapping[str, Sequence[_Binding]]

    @classmethod
    def of(cls, program: str) -> Self | None:
        """None where it is no Python."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of escapes in strings, which are not ours
                tree = ast.parse(program)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None
        parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
        imported = {
            alias.asname or alias.name.partition(".")[0]: alias.name.rpartition(".")[2]
            for node in ast.walk(tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }
        return cls(tree, imported, parents, _Binder(tree, parents).found())

    def called(self, node: ast.AST) -> str:
        """The last name of what is called, as it is called where it comes from; "" of what is no call of a name."""
        return self.name_of(node.func) if isinstance(node, ast.Call) else ""

    def name_of(self, node: ast.AST) -> str:
        """The last name of a dotted one, aliases of imports resolved; "" of anything else."""
        if isinstance(node, ast.Name):
            return self.imported.get(node.id, node.id)
        return node.attr if isinstance(node, ast.Attribute) else ""

    def within(self, node: ast.AST) -> list[ast.AST]:
        """What a node is a part of, from the inside."""
        found = []
        while (above := self.parents.get(node)) is not None:
            found.append(above)
            node = above
        return found

    def meanings(self, name: ast.Name, *, changes: bool) -> tuple[ast.AST, ...]:
        """What is bound to a name where it stands. changes: whether also by what changes it, such as a method."""
        known = self.bindings.get(name.id, ())
        until = bisect.bisect_right(known, _start(name), key=lambda each: each.place)
        if not until:
            # In a function that stands above what it uses.
            return next((each.nodes for each in known if not each.change), ())
        found: list[_Binding] = []
        last: _Binding | None = None
        for each in known[max(until - _FARTHEST, 0) : until][::-1]:
            if last is None or _apart(each.branches, last.branches):
                found += [each] if changes or not each.change else []
                last = each if last is None and not each.change else last
        return tuple(node for each in found[::-1] for node in each.nodes)

    def reached(self, roots: Iterable[ast.AST], *, changes: bool = True) -> Reached:
        """All that expressions are made of, through names, functions and their arguments."""
        stack, seen, nodes, is_open = list(roots)[::-1], set(), [], False
        while stack:
            node = stack.pop()
            if node in seen:
                continue
            seen.add(node)
            nodes.append(node)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                below = self.meanings(node, changes=changes)
                is_open |= not below and node.id in self.bindings
            else:
                below = tuple(ast.iter_child_nodes(node))
            stack.extend(below[::-1])
        return Reached(tuple(nodes), is_open)

    def keywords(self, call: ast.Call, positions: Sequence[str] = ()) -> dict[str, ast.AST]:
        """What a call is given, by name, also after `**`. positions: names of what is given by place."""
        found: dict[str, ast.AST] = dict(zip(positions, call.args, strict=False))
        for keyword in call.keywords:
            found.update({keyword.arg: keyword.value} if keyword.arg else self.entries(keyword.value))
        return found

    def entries(self, node: ast.AST, seen: set[ast.AST] | None = None) -> dict[str, ast.AST]:
        """Of a dictionary that is written down somewhere; {} of anything else. seen: what is not looked at again."""
        seen, found = set() if seen is None else seen, dict[str, ast.AST]()
        if node in seen or len(seen) > _FARTHEST:
            return found
        seen.add(node)
        if isinstance(node, ast.Name):
            for meaning in self.meanings(node, changes=False):
                found.update(self.entries(meaning, seen))
        elif self.called(node) == "dict" and isinstance(node, ast.Call):
            found.update({keyword.arg: keyword.value for keyword in node.keywords if keyword.arg})
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if key is None:
                    found.update(self.entries(value, seen))
                elif isinstance(key, ast.Constant) and isinstance(key.value, str):
                    found[key.value] = value
        return found

    def value(self, node: ast.AST, depth: int = 0) -> Any:
        """A float, text, boolean, None or a tuple of these, where that is written down; else UNKNOWN."""
        if depth > _DEEPEST:
            return UNKNOWN
        deeper = depth + 1
        match node:
            case ast.Constant(value=bool() | str() | None as value):
                return value
            case ast.Constant(value=int() | float() as value):
                return _float(value)
            case ast.UnaryOp(op=ast.USub(), operand=inside):
                value = self.value(inside, deeper)
                return -value if _is_number(value) else UNKNOWN
            case ast.BinOp(left=left, op=how, right=right):
                return _combined(self.value(left, deeper), how, self.value(right, deeper))
            case ast.Tuple(elts=parts) | ast.List(elts=parts) if len(parts) <= _LONGEST:
                # Twice nested is deep enough: their number grows with the depth.
                values = tuple(self.value(part, depth + _DEEPEST // 2) for part in parts)
                return UNKNOWN if UNKNOWN in values else values
            case ast.Call(func=ast.Name(id="int" | "float" | "round"), args=[inside, *_]):
                value = self.value(inside, deeper)
                return value if _is_number(value) else UNKNOWN
            case ast.Subscript(value=of, slice=ast.Constant(value=str() as key)):
                entry = self.entries(of).get(key)
                return UNKNOWN if entry is None else self.value(entry, deeper)
            case ast.Name():
                meanings = self.meanings(node, changes=False)
                return self.value(meanings[0], deeper) if len(meanings) == 1 else UNKNOWN
        return UNKNOWN


class _Binder:
    """Collects what is bound to names."""

    def __init__(self, tree: ast.Module, parents: Mapping[ast.AST, ast.AST]) -> None:
        self._tree, self._parents = tree, parents
        self._found: dict[str, list[_Binding]] = defaultdict(list)
        self._calls: dict[str, list[ast.Call]] = defaultdict(list)

    def found(self) -> Mapping[str, Sequence[_Binding]]:
        nodes = list(ast.walk(self._tree))
        for node in nodes:
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                self._calls[node.func.id].append(node)
        for node in nodes:
            self._visit(node)
        return {name: sorted(each, key=lambda one: one.place) for name, each in self._found.items()}

    def _visit(self, node: ast.AST) -> None:
        match node:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    self._bind(target, value, _end(node))
            case ast.AnnAssign(target=target, value=ast.expr() as value) | ast.NamedExpr(target=target, value=value):
                self._bind(target, value, _end(node))
            case ast.AugAssign(target=target, value=value):
                self._bind(target, value, _end(node), change=True)
            case ast.For(target=target, iter=value):
                self._bind(target, value, _end(value))
            case ast.comprehension(target=target, iter=value):
                # Its element stands before it.
                self._bind(target, value, _start(self._parents[node]))
            case ast.withitem(context_expr=value, optional_vars=ast.expr() as target):
                self._bind(target, value, _end(value))
            case ast.Expr(value=ast.Call(func=ast.Attribute(value=base)) as call):
                self._bind(base, call, _end(node), change=True)
            case ast.FunctionDef():
                self._add(node.name, (node,), _start(node), node)
                self._parameters(node)
            case ast.ClassDef():
                self._add(node.name, (node,), _start(node), node)

    def _parameters(self, function: ast.FunctionDef) -> None:
        """Binds them to what the function is called with, or to their defaults."""
        parameters = [*function.args.posonlyargs, *function.args.args]
        defaults: dict[str, ast.AST] = {
            each.arg: value for each, value in zip(parameters[::-1], function.args.defaults[::-1], strict=False)
        }
        given: dict[str, list[ast.AST]] = defaultdict(list)
        for call in self._calls[function.name][:_CALLS]:
            for each, argument in zip(parameters, call.args, strict=False):
                given[each.arg].append(argument)
            for keyword in call.keywords:
                given[keyword.arg or ""].append(keyword.value)
        for each, value in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True):
            if value is not None:
                defaults[each.arg] = value
        for each in [*parameters, *function.args.kwonlyargs]:
            nodes = given[each.arg] or ([defaults[each.arg]] if each.arg in defaults else [])
            self._add(each.arg, tuple(nodes), _start(each), function)

    def _bind(self, target: ast.AST, value: ast.AST, place: Place, *, change: bool = False) -> None:
        stack: list[tuple[ast.AST, ast.AST, bool]] = [(target, value, change)]
        while stack:
            target, value, change = stack.pop()
            match target:
                case ast.Name(id=name):
                    self._add(name, (value,), place, target, change=change)
                case ast.Tuple(elts=parts) | ast.List(elts=parts):
                    values: Sequence[ast.AST] = [value] * len(parts)
                    if isinstance(value, ast.Tuple | ast.List) and len(value.elts) == len(parts):
                        values = value.elts
                    stack += [(part, each, change) for part, each in zip(parts, values, strict=True)]
                case ast.Subscript(value=base) | ast.Attribute(value=base):
                    stack.append((base, value, True))
                case ast.Starred(value=base):
                    stack.append((base, value, change))

    def _add(self, name: str, nodes: tuple[ast.AST, ...], place: Place, node: ast.AST, *, change: bool = False) -> None:
        branches: dict[ast.If, int] = {}
        while (above := self._parents.get(node)) is not None:
            if isinstance(above, ast.If):
                branches[above] = 1 if node in above.orelse else 0
            node = above
        self._found[name].append(_Binding(place, nodes, branches, change))


def _apart(one: Mapping[ast.If, int], other: Mapping[ast.If, int]) -> bool:
    """Whether two places are in different branches of one `if`."""
    return any(branch in other and other[branch] != which for branch, which in one.items())


def _start(node: ast.AST) -> Place:
    return getattr(node, "lineno", 0), getattr(node, "col_offset", 0)


def _end(node: ast.AST) -> Place:
    return getattr(node, "end_lineno", 0), getattr(node, "end_col_offset", 0)


def _is_number(value: object) -> bool:
    return isinstance(value, float)


def _float(value: float) -> Any:
    try:
        return float(value)
    except OverflowError:
        return UNKNOWN


def _combined(left: Any, how: ast.operator, right: Any) -> Any:
    if isinstance(left, tuple) and isinstance(how, ast.Mult) and _is_number(right):
        return left * int(right) if 0 < right * max(len(left), 1) <= _LONGEST else UNKNOWN
    operate = _OPERATORS.get(type(how))
    if operate is None or not (_is_number(left) and _is_number(right)):
        return UNKNOWN
    try:
        return operate(left, right)
    except (ArithmeticError, ValueError):
        return UNKNOWN
