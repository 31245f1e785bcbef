"""nbgrader's settings for this course. Its kernel, python3, must have bnlib installed."""

c = get_config()  # noqa: F821 (nbgrader's own)

c.CourseDirectory.course_id = "batch-normalization"
c.ClearSolutions.code_stub = {"python": "# your answer stands in place of the dots above"}
c.Execute.timeout = 600  # seconds a cell: some train nets
