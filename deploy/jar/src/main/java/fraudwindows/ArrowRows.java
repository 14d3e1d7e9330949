package fraudwindows;

import org.apache.flink.table.api.DataTypes;
import org.apache.flink.table.api.ValidationException;
import org.apache.flink.table.catalog.DataTypeFactory;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.functions.TableFunction;
import org.apache.flink.table.types.inference.ArgumentTypeStrategy;
import org.apache.flink.table.types.inference.CallContext;
import org.apache.flink.table.types.inference.InputTypeStrategies;
import org.apache.flink.table.types.inference.TypeInference;
import org.apache.flink.table.types.logical.RowType;
import org.apache.flink.table.types.logical.utils.LogicalTypeParser;
import org.apache.flink.table.types.utils.DataTypeUtils;

import java.util.Optional;

/**
 * SQL table function: an Arrow IPC stream in, its rows out.
 *
 * <pre>{@code
 * SELECT r.* FROM exits CROSS JOIN LATERAL TABLE(
 *   ARROW_ROWS(batch, 'customer_id STRING, window_end TIMESTAMP(3), amount_sum DECIMAL(38, 2)')) AS r
 * }</pre>
 *
 * <p>The second argument is a literal: the columns of the stream, names, order and Flink types. It gives the call its row
 * type when the statement is planned, and every batch is checked against it. A NULL batch has no rows.
 *
 * <p>Why a function of our own: Python hands over one value per batch, and Flink's ways to take a batch apart (UNNEST of
 * arrays, a row at a time from Python) copy the whole array for every row, or pay Python for every row.
 *
 * <p>Set {@code pipeline.object-reuse}. Without it Flink copies what goes from one operator of a chain to the next, and each
 * row that leaves the join has the whole batch beside it: batches of 1,000 rows then cost some 14 µs a row instead of 1.
 */
public final class ArrowRows extends TableFunction<RowData> {

    private static final long serialVersionUID = 1L;

    static {
        UnloadableClasses.keep();
    }

    private transient String parsedColumns;
    private transient ArrowStreamReader reader;

    /**
     * Emits the rows of one stream.
     *
     * @param stream Arrow IPC stream (schema, record batches), or NULL
     * @param columns the columns, as in the body of {@code ROW<...>}; the same literal in every call of one statement
     * @throws IllegalArgumentException if the stream is damaged, or its schema is not {@code columns}
     */
    public void eval(byte[] stream, String columns) {
        if (stream == null) {
            return;
        }
        if (!columns.equals(parsedColumns)) {
            reader = new ArrowStreamReader(rowType(columns));
            parsedColumns = columns;
        }
        reader.read(stream, this::collect);
    }

    @Override
    public TypeInference getTypeInference(DataTypeFactory typeFactory) {
        return TypeInference.newBuilder()
                .inputTypeStrategy(
                        InputTypeStrategies.sequence(
                                new String[] {"batch", "columns"},
                                new ArgumentTypeStrategy[] {
                                    InputTypeStrategies.explicit(DataTypes.BYTES()),
                                    InputTypeStrategies.and(
                                            InputTypeStrategies.LITERAL,
                                            InputTypeStrategies.explicit(DataTypes.STRING()))
                                }))
                .outputTypeStrategy(call -> Optional.of(DataTypeUtils.toInternalDataType(rowType(call))))
                .build();
    }

    private static RowType rowType(CallContext call) {
        String columns =
                call.getArgumentValue(1, String.class)
                        .orElseThrow(() -> new ValidationException("ARROW_ROWS: the columns are NULL; wanted 'name TYPE, ...'"));
        return rowType(columns);
    }

    private static RowType rowType(String columns) {
        try {
            RowType type = (RowType) LogicalTypeParser.parse("ROW<" + columns + ">", ArrowRows.class.getClassLoader());
            new ArrowStreamReader(type); // a type that no reader exists for is an error of the statement, not of its first batch
            return type;
        } catch (RuntimeException error) {
            throw new ValidationException("ARROW_ROWS: columns '" + columns + "': " + error.getMessage(), error);
        }
    }
}
