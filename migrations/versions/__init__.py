"""One file per revision, numbered from 0001; a released revision is never edited."""
