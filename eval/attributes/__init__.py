"""Gender, age and ethnicity that faces show: classifiers, probes, demographics."""
