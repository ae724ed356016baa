module yester

go 1.26.0
