"""Small native delegates, some of them wrong, and whether the true one is there."""

import shutil
import subprocess

import pytest

from kerasbnn.runtime import DelegateError, delegate_path

COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")

# Takes nothing over, and knows no implementation but `generic`.
STUB = """
#include <stdlib.h>
struct Delegate {
  void* data; int (*prepare)(void*, struct Delegate*); void* copies[3];
  long long flags; void* rest[16]; };
static int prepare(void* c, struct Delegate* d) { return 0; }
struct Delegate* tflite_plugin_create_delegate(
    char** keys, char** values, size_t count, void (*report)(const char*)) {
  const char* forced = getenv("KERASBNN_FORCE_IMPLEMENTATION");
  if (forced && forced[0] != 'g') { report("unknown implementation"); return 0; }
  struct Delegate* d = calloc(1, sizeof(struct Delegate));
  d->prepare = prepare;
  d->flags = 1;
  return d;
}
void tflite_plugin_destroy_delegate(struct Delegate* d) { free(d); }
const char* kerasbnn_implementation(void) { return "generic"; }
const char* kerasbnn_implementations(void) { return "generic"; }
"""


def build_stub(folder, name):
    """Compile the delegate that takes nothing over; skip without a compiler."""
    if COMPILER is None:
        pytest.skip("needs a C compiler")
    source = folder / "stub.c"
    source.write_text(STUB)
    path = folder / name
    subprocess.run(
        [COMPILER, "-shared", "-fPIC", "-o", str(path), str(source)], check=True
    )
    return path


def has_delegate():
    """Whether kerasbnn's own delegate is installed."""
    try:
        delegate_path()
    except DelegateError:
        return False
    return True


needs_delegate = pytest.mark.skipif(
    not has_delegate(), reason="kerasbnn was installed without a C++ compiler"
)
