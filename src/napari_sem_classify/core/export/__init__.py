"""Class maps as tables, maps, polygons, figures and reports."""
