"""The napari side: forms, layers and workers over `napari_sem_classify.core`."""
