"""S3, Glue, Athena and Secrets Manager on one folder of this laptop; imports nothing of Daylight."""
