"""Area fractions that hold: reviewed samples, corrected estimates, intervals, regions."""
