"""Area fractions with errors, reviews, regions, statistics of fields."""
