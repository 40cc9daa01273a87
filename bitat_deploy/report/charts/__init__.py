"""Charts as inline SVG, for a wide page and for a phone."""

from bitat_deploy.report.charts.bars import bars, share_bar
from bitat_deploy.report.charts.confusion import confusion_matrix
from bitat_deploy.report.charts.histogram import histogram
from bitat_deploy.report.charts.points import points_chart
from bitat_deploy.report.charts.svg import for_both_widths, stand_alone, theme

__all__ = [
    "bars",
    "confusion_matrix",
    "for_both_widths",
    "histogram",
    "points_chart",
    "share_bar",
    "stand_alone",
    "theme",
]
