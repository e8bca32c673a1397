"""The Parquet parts of a table, their summary and outline, and the rows that a rewind moved out of them."""
