module example.org/lsmer-go

go 1.19
