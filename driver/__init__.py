"""Drives JupyterLab and the pages of the workbook in a real browser, as a reader does.

For the browser tests, the benchmarks and the README's pictures. Needs the `test` extra.
"""
