"""Programs that write data sets: one script a data set, and the packages they are made of."""
