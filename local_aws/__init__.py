"""S3, Glue and Athena on one folder of this laptop; imports nothing of Daylight."""
