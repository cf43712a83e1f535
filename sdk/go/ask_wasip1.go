package sortie

import "github.com/sortie-run/sortie/sdk/go/internal/guest"

// streamRequest asks the host for requests whose body isn't here yet.
func streamRequest() { guest.StreamRequest() }
