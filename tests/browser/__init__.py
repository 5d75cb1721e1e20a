"""Tests in a real browser, with one browser and one JupyterLab for all of them (a package's fixtures)."""
