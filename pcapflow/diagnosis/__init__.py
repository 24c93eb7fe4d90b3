"""From anomalies to a diagnosis: the one cause behind many rows."""
