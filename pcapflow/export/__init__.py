"""One renderer a file: each turns an analysis into one kind of text. Renderers never compute verdicts."""
