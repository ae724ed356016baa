package pack

// Built is a whole pack in memory.
type Built struct {
	header  Header
	data    []byte   // all data shards, virtual blocks included
	parity  []byte   // all parity shards
	payload []byte   // of the meta blocks, joined
	meta    [][]byte // by shard, the last for AllShards; empty if not asked for yet
}

// Header is the header of the file of all shards, or of the first that was asked for; its Index is 0.
func (p *Built) Header() Header { return p.header }

// File is the bytes of the file of one shard, or of all (AllShards), in pieces to be written one after the other.
// They may be written at the same time as those of other shards, but File itself belongs to one goroutine.
func (p *Built) File(shard int) [][]byte {
	meta := p.metaOf(shard)
	if shard == AllShards {
		return [][]byte{meta, p.data[:p.header.DataBlocks()*BlockSize], p.parity, meta}
	}
	return [][]byte{meta, p.shard(shard), meta}
}

func (p *Built) shard(i int) []byte {
	size, all := p.header.ShardBlocks()*BlockSize, p.data
	if i >= p.header.Shape.Data {
		i, all = i-p.header.Shape.Data, p.parity
	}
	return all[i*size : (i+1)*size]
}

func (p *Built) metaOf(shard int) []byte {
	if shard != AllShards && (shard < 0 || shard >= p.header.Shape.Shards()) {
		panic("pack: no such shard")
	}
	if p.meta == nil {
		p.meta = make([][]byte, AllShards+1)
	}
	if len(p.meta[shard]) == 0 {
		h := p.header
		h.Shard = uint8(shard)
		p.meta[shard] = h.appendMeta(p.meta[shard], p.payload)
	}
	return p.meta[shard]
}

func (p *Built) clearMeta() {
	for i := range p.meta {
		p.meta[i] = p.meta[i][:0]
	}
}
