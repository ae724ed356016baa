package control

import "time"

// An AdoptRequest has the daemon go on with a vault that was another's.
type AdoptRequest struct {
	Places     []string `json:"places,omitempty"`     // absolute; none: the vault that it has, or the one that lies where it would make one
	Passphrase string   `json:"passphrase,omitempty"` // opens it, or a recovery key does; empty: an open key, or what the settings say
	AsInstance string   `json:"as_instance,omitempty"`
}

// An Adoption answers an AdoptRequest.
type Adoption struct {
	Vault     string            `json:"vault"` // id
	Places    []Place           `json:"places"`
	Instances []AdoptedInstance `json:"instances"`
	Instance  Instance          `json:"instance"` // that the daemon is, or will be when it answers again
	Anew      bool              `json:"anew"`     // the daemon begins anew, as that instance
	Warnings  []string          `json:"warnings,omitempty"`
}

// An AdoptedInstance is one whose versions are in a vault.
type AdoptedInstance struct {
	ID         string     `json:"id"`
	Name       string     `json:"name"`
	Platform   string     `json:"platform,omitempty"`
	FirstSeen  time.Time  `json:"first_seen,omitzero"`
	Partitions []string   `json:"partitions,omitempty"`
	Versions   int        `json:"versions"`
	Newest     string     `json:"newest,omitempty"` // version
	Owner      *OwnerText `json:"owner,omitempty"`  // whose it is; nil: nobody said
	Ours       bool       `json:"ours"`             // this daemon's
}

// An OwnerText names the daemon that an instance belongs to.
type OwnerText struct {
	Machine string    `json:"machine"`
	Home    string    `json:"home,omitempty"` // "" for the system's folders
	Since   time.Time `json:"since"`
	Other   bool      `json:"other"` // than this daemon
}
