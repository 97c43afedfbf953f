"""Runs what `kerasbnn.convert` writes; needs numpy and ai-edge-litert only."""
