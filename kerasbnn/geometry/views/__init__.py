"""What shows a report: tables, pages and plots. Nothing here is loaded until asked."""

__all__: list[str] = []
