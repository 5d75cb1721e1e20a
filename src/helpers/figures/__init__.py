"""What shows itself as text and as HTML: tables, bars, source code."""
