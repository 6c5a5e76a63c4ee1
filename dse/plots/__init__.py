"""Run to figure: prepared once in numpy, drawn for the browser and for print.

The only importer of plotly (`interactive`) and matplotlib (`static`); importing this package loads
neither.
"""
