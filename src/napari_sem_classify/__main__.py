"""Run the command line with ``python -m napari_sem_classify``."""

from __future__ import annotations

from napari_sem_classify.cli import main

if __name__ == "__main__":
    main()
