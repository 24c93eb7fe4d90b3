"""The patterns, one in each module; :mod:`pcapflow.diagnosis.catalogue` finds them by itself."""
