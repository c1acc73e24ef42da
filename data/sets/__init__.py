"""Data sets, one a file: `load` reads the user's files, `built_in` makes a small set, `public` reads one of TFDS."""
