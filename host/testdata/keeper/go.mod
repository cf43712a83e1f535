module keeper

go 1.26
