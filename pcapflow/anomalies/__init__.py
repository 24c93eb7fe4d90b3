"""The anomalies: rules that read the tables and say what is wrong, on whose side, and which frames prove it."""
