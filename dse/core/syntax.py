"""What a Python source says, apart from how it is laid out and worded: the digest of its syntax."""

import ast
import gc
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager


def syntax_digest(source: str) -> str:
    """Digest of what a source does, 32 hexadecimal digits.

    Comments, docstrings, layout, positions and the texts of raised errors do not count; every
    other edit does. Bare strings and `pass` have no effect and are left out. The texts of an error
    are the strings, f-strings included, inside the call that a `raise` statement raises; its type
    and its other arguments count. A text that is put together before the `raise` counts, too.

    Raises:
        SyntaxError: If it is no Python source.
    """
    return tree_digest(parsed(source))


def parsed(source: str) -> ast.Module:
    """Syntax tree of a source; the collector of cycles would double the time that it takes.

    Raises:
        SyntaxError: If it is no Python source.
    """
    with _no_collection():
        try:
            return ast.parse(source)
        except ValueError as error:  # a NUL
            raise SyntaxError(str(error)) from error


def tree_digest(tree: ast.AST) -> str:
    """As `syntax_digest`, of a tree."""
    words: list[str] = []
    _say(tree, words, raised=False)
    return hashlib.blake2b(
        "\0".join(words).encode("utf-8", "surrogatepass"), digest_size=16
    ).hexdigest()


def _say(node: ast.AST, words: list[str], *, raised: bool) -> None:
    """Append what a node says; `raised`: within the call of a raised error."""
    kind = type(node).__name__
    if raised and _is_text(node):
        words.append("text")
        return
    words.append(kind)
    for name in node._fields:
        if name in _UNSAID:
            continue
        value = getattr(node, name, None)
        # A field that a newer Python adds is empty in the source of an older one.
        if value is None and kind != "Constant":
            continue
        inside = raised or (kind == "Raise" and name == "exc" and isinstance(value, ast.Call))
        if isinstance(value, ast.AST):
            words.append(name)
            _say(value, words, raised=inside)
        elif not isinstance(value, list):
            words.append(f"{name}={value!r}")
        elif value:
            words.append(name)
            _say_each(value, words, raised=inside)
    words.append(")")


_UNSAID = frozenset({"ctx", "kind", "type_comment", "type_ignores"})
"""Fields that follow from the others or are comments."""


def _say_each(values: list[object], words: list[str], *, raised: bool) -> None:
    words.append("[")
    for value in values:
        if not isinstance(value, ast.AST):
            words.append(repr(value))
        elif not _is_idle(value):
            _say(value, words, raised=raised)
    words.append("]")


def _is_idle(node: ast.AST) -> bool:
    """Whether a statement has no effect: `pass`, or a bare string such as a docstring."""
    return isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and _is_text(node.value))


def _is_text(node: ast.AST) -> bool:
    plain = isinstance(node, ast.Constant) and isinstance(node.value, str)
    return plain or isinstance(node, ast.JoinedStr)


@contextmanager
def _no_collection() -> Iterator[None]:
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
