"""Images and blocks of a huge image on an existing Dask cluster."""
