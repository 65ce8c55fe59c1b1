"""Reports: tables, figures and self-contained pages."""
