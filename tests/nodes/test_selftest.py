"""What a node does before it measures itself."""

from types import SimpleNamespace

import pytest

from tierline_codecs import CodecError, lend, native
from tierline_nodes import selftest


def bundle(activation_bytes):
    """A bundle of two blocks, with so large an activation between them."""
    return SimpleNamespace(
        model=SimpleNamespace(
            blocks=[None, None], activation_bytes=lambda layer: activation_bytes, scale_rows=scale_rows
        )
    )


def scale_rows(codes, scales, out):
    """What a model's library would lend."""


@pytest.fixture(autouse=True)
def nothing_lent():
    """Take back what a test has lent."""
    yield
    lend(None)


@pytest.mark.parametrize(("size", "compiled"), [(2**20 - 1, False), (2**20, True)])
def test_kernels_are_compiled_for_large_activations_only(monkeypatch, size, compiled):
    calls = []
    monkeypatch.setattr(selftest, "warm_up", lambda: calls.append(size))

    selftest.warm_codecs(bundle(size))

    assert bool(calls) == compiled


def test_kernels_that_do_not_compile_keep_no_node_from_starting(monkeypatch):
    def fail():
        raise CodecError("no-kernels", "numba cannot compile")

    monkeypatch.setattr(selftest, "warm_up", fail)

    selftest.warm_codecs(bundle(2**24))

    assert native.lent() is scale_rows


@pytest.mark.parametrize(("seconds", "lends"), [(None, True), (0.5, False)])
def test_where_nothing_is_compiled_what_the_model_computes_with_decodes(monkeypatch, seconds, lends):
    monkeypatch.setattr(selftest, "warm_up", lambda: seconds)

    selftest.warm_codecs(bundle(2**24))

    assert native.lent() is (scale_rows if lends else None)
